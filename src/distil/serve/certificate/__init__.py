"""What a certified threshold holds for: requests like its labels, as long as nothing that it depends on has changed."""
