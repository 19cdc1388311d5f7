"""From a file to what is wanted of this machine, or to every problem at once; knows no process."""
