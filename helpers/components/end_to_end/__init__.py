"""Chapter 13: from pictures to a prediction, through all the others. One file a stage."""
