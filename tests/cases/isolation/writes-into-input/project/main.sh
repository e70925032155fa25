cat data.txt > out.txt
echo spoiled >> data.txt
echo '# spoiled' >> main.sh
