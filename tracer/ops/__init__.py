"""What is known of operations, without torch: a saved trace is read and explained with it."""
