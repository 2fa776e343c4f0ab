"""Bugs of learners, planted in operations of learners: how well does the gradient checker name and place them?"""
