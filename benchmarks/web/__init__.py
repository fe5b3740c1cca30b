"""What does a request to FastAPI cost more with injection, ours and others', than without any?"""
