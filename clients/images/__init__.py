"""Images: decode them safely, resize them to the network's input and convert them to tensors."""
