"""What people look at: drawings and texts of what a run has logged."""
