"""What is known of a space as a whole: how many architectures it holds, and its extremes."""
