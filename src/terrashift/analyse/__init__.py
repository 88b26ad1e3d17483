"""What a pair of images, or a finished field, says about itself."""
