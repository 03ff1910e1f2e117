"""Model sources: recipes, Keras applications and model files, which are checked before they are loaded."""
