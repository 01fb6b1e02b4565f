"""Networks of students."""
