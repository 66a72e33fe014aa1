"""Files of foreign formats to plain arrays, by well-kept libraries; known to tasks, which know no stage."""
