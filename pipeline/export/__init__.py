"""What leaves a corpus: tables of a snapshot for others to read, and who may have them."""
