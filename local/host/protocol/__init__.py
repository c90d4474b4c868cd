"""The out-of-process orchestration protocol between host and SDK 1.x; pure, no I/O, no clock."""
