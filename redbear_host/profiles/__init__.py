"""What the user wrote down about the network: netctl's profiles and Redox's static files."""
