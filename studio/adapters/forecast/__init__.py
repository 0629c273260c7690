"""What a Run of forecasts says about itself to others."""
