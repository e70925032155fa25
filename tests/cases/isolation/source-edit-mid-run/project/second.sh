echo original > out.txt
