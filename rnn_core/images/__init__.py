"""Images: colours as tensors, the encoder that reads them, and captions in lanes beside them."""
