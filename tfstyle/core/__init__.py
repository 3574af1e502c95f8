"""What every other room uses: errors, files, progress, configuration."""
