echo 1 > out.txt
