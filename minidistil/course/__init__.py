"""The course: lessons, their exercises, and the check of a student's answers."""
