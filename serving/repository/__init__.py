"""The model repository on disk: versions, configuration, integrity, maintenance."""
