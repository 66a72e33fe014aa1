"""The simple methods of a field, by well-kept libraries, for tasks to stand beside; known to tasks, know no stage."""
