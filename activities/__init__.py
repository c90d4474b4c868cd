"""The hands: one side effect per function, value object in, value object out. They decide nothing."""
