"""The durable engine: task hub, checkpoint, timers and the workers that call user code."""
