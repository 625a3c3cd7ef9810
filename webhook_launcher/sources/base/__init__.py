"""What several kinds share; a kind imports from here and never from another kind."""
