"""What a network has to beat: climatology, inverse distances, optimal interpolation."""
