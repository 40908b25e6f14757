"""What certificates are computed with: a network as layers that bound themselves."""
