"""What runs a student: in this process, or a server in front of it. Start at base.py."""
