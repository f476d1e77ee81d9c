"""What a finished training leaves in its folder, with how its model decides."""
