"""Sound and its transcripts: spectra, their augmentation, and the searches over what a CTC head says."""
