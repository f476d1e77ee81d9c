"""What `auto` chooses by short trainings on validation images: what a training begins with, its augmentation."""
