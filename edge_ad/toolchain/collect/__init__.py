"""Back from the devices: how every asset does, from messages and files into the fleet's index; what to do.

What comes from a device is somebody else's text: every value is checked before it counts, and what makes no
sense is told with where it stood, and left out.
"""
