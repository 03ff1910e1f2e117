"""Score on the processes of a cluster engine: Ray here, Ray or Spark in the program of the user."""
