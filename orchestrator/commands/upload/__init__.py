"""What is sent along with a job: a folder that becomes a zip file, or a zip file as it is."""
