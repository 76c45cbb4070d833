"""What Linux says about processes: one module for each family of kernel files, reading and parsing apart."""
