"""Is this the certificate request of an expected machine?"""
