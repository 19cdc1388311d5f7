"""What earlier versions left is read by this one, and what a later one adds does no harm."""
