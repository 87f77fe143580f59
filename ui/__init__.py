"""What the pages share: the frame, the controls, traced runs and the player."""
