"""The math both sides share: scaler, window, score, control limit, alarm rules.

Rule of this folder: numpy and the standard library only, no files, no clocks, no interpreter. What is
computed here on a workstation is computed by the same lines on the device.
"""
