"""What goes in: recipes, classifiers of Keras and files, looked at before anything in them is run."""
