"""Learn from simulated pairs: one loop, one page of settings, checkpoints that resume exactly."""
