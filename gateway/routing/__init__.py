"""Stations admit and route: may this party say this, and who gets it how?"""
