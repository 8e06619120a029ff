"""Counting instructions per window, which depends on nothing but the program: for machines whose time does.

Rule of this folder: as of `edge_ad.runtime`. A counter is a module with a class that runs a program and says
how many instructions it took; what is counted is `deciding`, in a process of its own.
"""
