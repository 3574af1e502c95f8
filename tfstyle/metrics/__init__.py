"""Measures of codes and pictures: functions of NumPy arrays."""
