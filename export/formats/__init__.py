"""The exported formats: ONNX in three precisions and SavedModel, with their runners."""
