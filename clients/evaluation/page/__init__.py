"""The page of an evaluation: metrics and images in one HTML file that needs no network."""
