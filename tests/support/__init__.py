"""What tests share: data files, free ports, started programs. Must not contain tests."""
