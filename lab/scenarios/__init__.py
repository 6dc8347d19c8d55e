"""What is played in the lab. A module is one theme, a function with a stage is one test."""
