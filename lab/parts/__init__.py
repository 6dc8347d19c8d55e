"""The programs that play in the scenarios: Peerlift, foreign servers, files to deliver."""
