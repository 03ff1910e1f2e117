"""What is written: ONNX in three precisions, SavedModel; and how it is opened again."""
